# syntax=docker/dockerfile:1
# The same image as `cargo xtask image` makes without a daemon: the static program on nothing. See xtask/src/image.rs for why
# nothing else is in it.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t flyball.io/flyball:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo rustc --locked --release --package flyball-cli --bin flyball -- \
      -C target-feature=+crt-static -C strip=debuginfo \
 && mkdir -p /image/etc \
 && cp target/release/flyball /image/flyball \
 && echo 'hosts: files dns' >/image/etc/nsswitch.conf

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Flyball" \
      org.opencontainers.image.description="A Kubernetes metrics pipeline and autoscaler" \
      org.opencontainers.image.source="https://github.com/flyball-io/flyball" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
ENV PATH=/
USER 65534:65534
ENTRYPOINT ["/flyball"]
