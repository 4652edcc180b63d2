# syntax=docker/dockerfile:1
# Sealgate as an image: one binary on a slim Debian, not run by root, without a compiler or a client.
#
#   docker build -t sealgate .
#   docker run -p 6432:6432 -v ./config:/etc/sealgate:ro -v sealgate:/var/lib/sealgate \
#       -e SEALGATE_MASTER_KEY -e SEALGATE_SERVICE_PASSWORD sealgate
#
# In a container, [listen] must name 0.0.0.0 to be reached from outside; [admin] may stay on 127.0.0.1
# unless metrics are scraped from outside. Keys and the audit record belong under /var/lib/sealgate.

FROM rust:1-bookworm AS build
# libclang: the bindings to PostgreSQL's own parser are generated during the build.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin sealgate \
    && install -D -m 0755 target/release/sealgate /out/sealgate

FROM debian:bookworm-slim
# The certificates of public authorities, for an upstream or a webhook whose own `ca` is not given.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/sealgate --shell /usr/sbin/nologin sealgate \
    && install -d -m 0750 -o sealgate -g sealgate /var/lib/sealgate \
    && install -d -m 0755 /etc/sealgate
COPY --from=build /out/sealgate /usr/local/bin/sealgate
USER 10001
WORKDIR /var/lib/sealgate
VOLUME ["/etc/sealgate", "/var/lib/sealgate"]
EXPOSE 6432 9187
STOPSIGNAL SIGTERM
# Asks the admin address itself, since nothing else in the image speaks HTTP.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9187 && printf 'GET /health/live HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && IFS= read -r -t 2 line <&3 && [[ $line == 'HTTP/1.'?' 200'* ]]"]
ENTRYPOINT ["sealgate"]
CMD ["run", "--config", "/etc/sealgate/sealgate.toml"]
