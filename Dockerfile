# syntax=docker/dockerfile:1
# Sealgate as an image: one binary on a slim Debian, not run by root, without a compiler or a client.
#
#   docker build -t sealgate --build-arg SEALGATE_COMMIT=$(git rev-parse HEAD) .
#   docker run -p 6432:6432 -v ./config:/etc/sealgate:ro -v sealgate:/var/lib/sealgate \
#       -e SEALGATE_MASTER_KEY -e SEALGATE_SERVICE_PASSWORD sealgate
#
# The configuration is /etc/sealgate/sealgate.toml; the health check needs its [admin]. The exit code is 2
# where it, or what it names, is at fault. What a debugger needs to know of this very program:
#
#   docker build --target symbols --output symbols .
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
# The builder has no repository to ask.
ARG SEALGATE_COMMIT=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin sealgate \
    && mkdir -p /out /symbols \
    && objcopy --only-keep-debug --compress-debug-sections=zlib target/release/sealgate /symbols/sealgate.debug \
    && cd /symbols \
    && objcopy --strip-all --add-gnu-debuglink=sealgate.debug /src/target/release/sealgate /out/sealgate \
    && chmod 0755 /out/sealgate

FROM scratch AS symbols
COPY --from=build /symbols/sealgate.debug /

FROM debian:bookworm-slim
# The certificates of public authorities, for an upstream or a webhook whose own `ca` is not given.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/sealgate --shell /usr/sbin/nologin sealgate \
    && install -d -m 0750 -o sealgate -g sealgate /var/lib/sealgate \
    && install -d -m 0755 /etc/sealgate
COPY --from=build /out/sealgate /usr/local/bin/sealgate
ENV SEALGATE_CONFIG=/etc/sealgate/sealgate.toml
USER 10001
WORKDIR /var/lib/sealgate
VOLUME ["/etc/sealgate", "/var/lib/sealgate"]
EXPOSE 6432 9187
STOPSIGNAL SIGTERM
# Asks the admin address that the configuration names; nothing else in the image speaks HTTP.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["sealgate", "health"]
ENTRYPOINT ["sealgate"]
CMD ["run"]
