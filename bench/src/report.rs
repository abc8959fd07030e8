//! What becomes of measurements: text on the terminal, JSON, charts, the table in the page.

pub(crate) mod charts;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod text;
