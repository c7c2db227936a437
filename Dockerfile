# docker build --build-arg VERSION=2.0.0 --build-arg REVISION="$(git rev-parse HEAD)" -t inventor:2.0.0 .
ARG BUILDER=rust:1.95-bookworm

# A layer that changes to the code do not invalidate.
FROM ${BUILDER} AS dependencies
WORKDIR /build
ENV RUSTFLAGS="-C target-feature=+crt-static"
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --locked --release --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && rm -r src

FROM dependencies AS build
COPY src src
ARG REVISION=unknown
# Cargo would take code that is older than the stand-in above for built.
RUN find src -exec touch {} + \
 && INVENTOR_REVISION="$REVISION" cargo build --locked --release --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && mkdir -p image/data \
 && cp target/*/release/inventor image/
ARG VERSION=""
# An image must not claim to be another version than it is.
RUN test -z "$VERSION" || test "$(image/inventor -V)" = "inventor $VERSION"

FROM scratch
ARG VERSION=""
ARG REVISION=unknown
LABEL org.opencontainers.image.title="inventor" \
      org.opencontainers.image.description="Prometheus HTTP service discovery" \
      org.opencontainers.image.source="https://github.com/code-tool/inventor" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE.md LICENSE-3rdparty.txt /licenses/
COPY --from=build /build/image/inventor /inventor
# A new volume gets its owner from here.
COPY --from=build --chown=65534:65534 /build/image/data /data
ENV APP_ENV=docker DATA_DIR=/data
VOLUME /data
EXPOSE 9101
USER 65534:65534
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/inventor", "healthcheck"]
ENTRYPOINT ["/inventor"]
