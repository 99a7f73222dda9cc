# docker run -i --rm -e INTERHUMAN_API_KEY -v "$PWD:/media:ro" ghcr.io/ih-mcp/ih-mcp:0.1.0
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY ih_mcp ih_mcp
COPY skills skills
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
LABEL io.modelcontextprotocol.server.name="io.github.ih-mcp/ih-mcp" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# The Debian release of the base image decides which ffmpeg it is.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
# There is one wheel of it, the one that was just built.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-index --find-links /wheels ih-mcp && rm -rf /wheels \
    && useradd --create-home --uid 10001 ih && mkdir /media /data && chown ih /data
USER 10001
ENV IH_MCP_MEDIA_DIRS=/media IH_MCP_DATA_DIR=/data
VOLUME ["/data"]
ENTRYPOINT ["ih-mcp"]
