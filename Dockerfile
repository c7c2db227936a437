# docker build --build-arg VERSION=2.0.0 --build-arg REVISION="$(git rev-parse HEAD)" -t inventor:2.0.0 .
ARG BUILDER=rust:1.95-bookworm
FROM ${BUILDER} AS build
WORKDIR /build
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The dependencies, in a layer that changes to the code leave alone.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --locked --release --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && rm -r src

COPY src src
ARG VERSION=""
ARG REVISION=unknown
# Code that is older than the stand-in above would count as built. And an image never says that it is another version.
RUN find src -exec touch {} + \
 && INVENTOR_REVISION="$REVISION" cargo build --locked --release --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && mkdir -p image/data \
 && cp target/*/release/inventor image/inventor \
 && test "inventor ${VERSION:-$(image/inventor -V | cut -d' ' -f2)}" = "$(image/inventor -V)"

FROM scratch
ARG VERSION=""
ARG REVISION=unknown
LABEL org.opencontainers.image.title="inventor" \
      org.opencontainers.image.description="Prometheus HTTP service discovery" \
      org.opencontainers.image.source="https://github.com/code-tool/inventor" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /build/image/inventor /inventor
# A new volume takes its owner from here.
COPY --from=build --chown=65534:65534 /build/image/data /data
ENV APP_ENV=docker DATA_DIR=/data
VOLUME /data
EXPOSE 9101
USER 65534:65534
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/inventor", "healthcheck"]
ENTRYPOINT ["/inventor"]
