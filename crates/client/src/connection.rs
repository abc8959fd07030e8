//! A connection to one node.

use std::{collections::BTreeMap, io, time::Duration};

use bytes::{Bytes, BytesMut};
use chronik_wire::{
    ApiKey, DecodeError, EncodeError, ErrorCode, Versions, decode_response, encode_request,
    message,
    messages::{ApiVersionsRequest, ApiVersionsResponse, KafkaRequest, RequestResponsePair},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

/// Longest response that is read, in bytes; longer ones are taken for nonsense.
const RESPONSE_BYTES_MAX: usize = 256 << 20;
const CLIENT_ID: &str = "chronik-client";

/// A TCP connection that speaks Kafka's protocol, without TLS.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    timeout: Duration,
    correlation_id: i32,
    buffer: BytesMut,
}

/// What went wrong; the connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("a response of {0} bytes")]
    ResponseLength(i32),
    #[error("the answer to request {found} came where that to {expected} was due")]
    Correlation { expected: i32, found: i32 },
    #[error("ApiVersions was answered with {0}")]
    ApiVersions(i16),
}

impl Connection {
    /// Connects; this and every answer may take `timeout`.
    pub async fn connect(
        address: impl ToSocketAddrs,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let stream = within(timeout, TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            timeout,
            correlation_id: 0,
            buffer: BytesMut::new(),
        })
    }

    /// From here on every answer may take `timeout`.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What the node says it serves, of the APIs this build knows.
    pub async fn api_versions(&mut self) -> Result<BTreeMap<ApiKey, Versions>, ClientError> {
        let request = message!(ApiVersionsRequest {
            client_software_name: CLIENT_ID.into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        });
        let response: ApiVersionsResponse = self
            .send(&request, ApiKey::ApiVersions.served().max)
            .await?;
        if response.error_code != ErrorCode::None.code() {
            return Err(ClientError::ApiVersions(response.error_code));
        }
        let known = response.api_keys.iter().filter_map(|api| {
            let api_key = ApiKey::from_code(api.api_key)?;
            (api.min_version <= api.max_version)
                .then(|| (api_key, Versions::new(api.min_version, api.max_version)))
        });
        Ok(known.collect())
    }

    /// Sends a request in this version and waits for its answer.
    pub async fn send<R: RequestResponsePair>(
        &mut self,
        request: &R,
        api_version: i16,
    ) -> Result<R::Response, ClientError> {
        let correlation_id = self.send_only(request, api_version).await?;
        let frame = self.receive_frame().await?;
        let (header, response) = decode_response(frame, api_version)?;
        match header.correlation_id == correlation_id {
            true => Ok(response),
            false => Err(ClientError::Correlation {
                expected: correlation_id,
                found: header.correlation_id,
            }),
        }
    }

    /// Sends a request and returns its correlation id; the answer, if there is one, is left to
    /// [`receive_frame`](Self::receive_frame).
    pub async fn send_only<R: KafkaRequest>(
        &mut self,
        request: &R,
        api_version: i16,
    ) -> Result<i32, ClientError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.buffer.clear();
        encode_request(
            &mut self.buffer,
            self.correlation_id,
            Some(CLIENT_ID),
            request,
            api_version,
        )?;
        within(self.timeout, self.stream.write_all(&self.buffer)).await?;
        Ok(self.correlation_id)
    }

    /// Sends these bytes as they are: no length, no header, no sense required.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        within(self.timeout, self.stream.write_all(bytes)).await
    }

    /// The next frame the node sends, without its length. An `UnexpectedEof` says that the node closed the connection.
    pub async fn receive_frame(&mut self) -> Result<Bytes, ClientError> {
        let length = within(self.timeout, self.stream.read_i32()).await?;
        let frame_bytes = usize::try_from(length)
            .ok()
            .filter(|bytes| *bytes <= RESPONSE_BYTES_MAX)
            .ok_or(ClientError::ResponseLength(length))?;
        let mut frame = BytesMut::zeroed(frame_bytes);
        within(self.timeout, self.stream.read_exact(&mut frame)).await?;
        Ok(frame.freeze())
    }

    /// Whether the node closes the connection without sending anything more.
    pub async fn is_closed_by_peer(&mut self) -> bool {
        match self.receive_frame().await {
            Err(ClientError::Io(error)) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                )
            }
            _ => false,
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, ClientError> {
    match timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ClientError::Timeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use chronik_wire::{
        Request, advertise, api_versions_response, encode_response,
        messages::{HeartbeatRequest, HeartbeatResponse},
    };
    use tokio::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_request_is_answered() {
        let address = node(|request, buffer| {
            assert_eq!(
                request
                    .decode::<HeartbeatRequest>()
                    .expect("sound")
                    .group_id
                    .as_str(),
                "g"
            );
            let response = message!(HeartbeatResponse {
                error_code: ErrorCode::RebalanceInProgress.code()
            });
            encode_response(buffer, &request.header, &response).expect("encodes");
        })
        .await;
        let mut connection = Connection::connect(address, TIMEOUT)
            .await
            .expect("listens");
        let request = message!(HeartbeatRequest {
            group_id: "g".into()
        });
        for version in 0..=4 {
            let response = connection.send(&request, version).await.expect("answers");
            assert_eq!(response.error_code, 27);
        }
    }

    #[tokio::test]
    async fn what_a_node_serves_is_known() {
        let address = node(|request, buffer| {
            let response = api_versions_response(&advertise([ApiKey::ApiVersions, ApiKey::Fetch]));
            encode_response(buffer, &request.header, &response).expect("encodes");
        })
        .await;
        let mut connection = Connection::connect(address, TIMEOUT)
            .await
            .expect("listens");
        let versions = connection.api_versions().await.expect("answers");
        assert_eq!(versions[&ApiKey::Fetch], Versions::new(4, 18));
        assert_eq!(versions.len(), 2);
    }

    #[tokio::test]
    async fn an_answer_to_another_request_is_refused() {
        let address = node(|request, buffer| {
            let mut header = request.header.clone();
            header.correlation_id += 1;
            encode_response(buffer, &header, &HeartbeatResponse::default()).expect("encodes");
        })
        .await;
        let mut connection = Connection::connect(address, TIMEOUT)
            .await
            .expect("listens");
        let result = connection.send(&HeartbeatRequest::default(), 4).await;
        assert!(
            matches!(
                result,
                Err(ClientError::Correlation {
                    expected: 1,
                    found: 2
                })
            ),
            "{result:?}"
        );
    }

    #[tokio::test]
    async fn a_closed_connection_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let mut connection = Connection::connect(address, TIMEOUT)
            .await
            .expect("listens");
        drop(listener.accept().await.expect("connects"));
        assert!(connection.is_closed_by_peer().await);
    }

    /// A node that answers every request of one connection by `answer`.
    async fn node(answer: fn(&Request, &mut BytesMut)) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("connects");
            while let Ok(length) = stream.read_i32().await {
                let mut frame = BytesMut::zeroed(length as usize);
                stream.read_exact(&mut frame).await.expect("a whole frame");
                let request = Request::parse(frame.freeze()).expect("sound");
                let mut buffer = BytesMut::new();
                answer(&request, &mut buffer);
                stream.write_all(&buffer).await.expect("reads");
            }
        });
        address
    }
}
