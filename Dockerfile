# syntax=docker/dockerfile:1
# Server and worker in one image. To give the worker a GPU, run it with the NVIDIA container runtime.

FROM python:3.11-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/mrseg
WORKDIR /src
# Dependencies first, in a layer of their own: they are large and change less often than the code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --extra postgresql --extra dask --no-install-project
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --extra postgresql --extra dask --no-editable

FROM python:3.11-slim-bookworm
# A user without rights on the host, with a fixed number so that a volume can be made writable for it.
RUN groupadd --gid 10001 mrseg \
    && useradd --uid 10001 --gid mrseg --create-home --shell /usr/sbin/nologin mrseg \
    && install --directory --owner mrseg --group mrseg /workspace
COPY --from=build /opt/mrseg /opt/mrseg
ENV PATH=/opt/mrseg/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /workspace
VOLUME /workspace
EXPOSE 8000
# By HTTPS where the server has a certificate. For another port: health --port.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["mrseg-label", "health"]
ENTRYPOINT ["mrseg-label"]
CMD ["serve"]
