# syntax=docker/dockerfile:1
# Server, worker and scheduler in one image. To give a worker a GPU, run it with the NVIDIA container runtime.
#
# torch is the build with CUDA, several GB: the lock file has no other, and what is not in it was not tested. There is
# therefore no build argument for a smaller image without CUDA.

ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
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

FROM ${PYTHON_IMAGE}
# A user without rights on the host, with a fixed number so that a volume can be made writable for it.
RUN groupadd --gid 10001 mrseg \
    && useradd --uid 10001 --gid mrseg --create-home --shell /usr/sbin/nologin mrseg \
    && install --directory --owner mrseg --group mrseg --mode 0700 /workspace
COPY --from=build /opt/mrseg /opt/mrseg
# Nothing is written beside the code, so that the file system can be read-only.
ENV PATH=/opt/mrseg/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /workspace
VOLUME /workspace
EXPOSE 8000
# By HTTPS where the server has a certificate. For another port: health --port.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --start-interval=3s --retries=3 \
    CMD ["mrseg-label", "health"]
ENTRYPOINT ["mrseg-label"]
CMD ["serve"]
