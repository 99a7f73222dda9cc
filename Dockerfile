# docker run -i --rm -e INTERHUMAN_API_KEY -v ih-mcp:/data -v "$PWD:/media:ro" ghcr.io/ih-mcp/ih-mcp:0.1.0
# The digest decides which base it is; the tag before it is for readers. Move both together.
ARG BASE=docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS build
WORKDIR /src
# What it runs with, each file checked against its hash; `make lock` writes the list.
COPY requirements.lock ./
RUN python3 -m venv /opt/ih-mcp \
    && /opt/ih-mcp/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY ih_mcp ih_mcp
COPY skills skills
# The package itself, without what installs and builds it: the image has neither.
RUN /opt/ih-mcp/bin/pip install --no-cache-dir --no-deps . \
    && /opt/ih-mcp/bin/python -m pip uninstall --yes pip

FROM ${BASE}
LABEL io.modelcontextprotocol.server.name="io.github.ih-mcp/ih-mcp" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ih-mcp /opt/ih-mcp
RUN useradd --create-home --uid 10001 ih && mkdir -p /media /data && chown ih /data && chmod 700 /data
USER 10001
ENV PATH=/opt/ih-mcp/bin:$PATH IH_MCP_MEDIA_DIRS=/media IH_MCP_DATA_DIR=/data
VOLUME ["/data"]
ENTRYPOINT ["ih-mcp"]
