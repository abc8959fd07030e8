//! A literal for the codec's messages, whose structs may gain fields and therefore forbid one.

/// Builds a message from the fields that are named; all others keep the protocol's default.
///
/// ```
/// use chronik_wire::{message, messages::HeartbeatResponse};
///
/// let response = message!(HeartbeatResponse { error_code: 27 });
/// assert_eq!(response.throttle_time_ms, 0);
/// ```
#[macro_export]
macro_rules! message {
    ($message:ty { $($field:ident $(: $value:expr)?),* $(,)? }) => {{
        #[allow(unused_mut)]
        let mut message = <$message as ::core::default::Default>::default();
        $(message.$field = $crate::message!(@value $field $($value)?);)*
        message
    }};
    (@value $field:ident $value:expr) => { $value };
    (@value $field:ident) => { $field };
}
