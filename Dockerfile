# The server alone, as a user without rights, with its data in /var/lib/chronik.
#
#   docker build -t chronik .
#   docker run -p 9092:9092 -v chronik-data:/var/lib/chronik chronik

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY xtask xtask
COPY bench bench
COPY vendor vendor
RUN cargo build --locked --profile dist --package chronik-cli

FROM debian:bookworm-slim
RUN useradd --system --uid 9092 --home-dir /var/lib/chronik chronik \
    && install --directory --owner chronik --group chronik --mode 0750 /var/lib/chronik
COPY --from=build /src/target/dist/chronik-server /usr/bin/chronik-server
COPY LICENSE /usr/share/doc/chronik/LICENSE
ENV CHRONIK_DATA_DIR=/var/lib/chronik
USER chronik
VOLUME /var/lib/chronik
EXPOSE 9092 6092
STOPSIGNAL SIGTERM
ENTRYPOINT ["chronik-server"]
CMD ["start"]
