# The kit's own image: the suite as a Job in the cluster, and the small programs that other Jobs run.
#
#   docker build -t registry.example.com/milvus-kit:0.1.0 .
#
# Pin the base by digest where you build for production:
#   --build-arg BASE=docker.io/library/python:3.12.12-slim-bookworm@sha256:...
ARG BASE=docker.io/library/python:3.12.12-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
# The versions and hashes of requirements.lock, without what development and Pulumi need;
# compiled here, since nothing can be written where it runs.
RUN python -m venv /opt/tools \
 && for tool in uv cyclonedx-bom; do \
      /opt/tools/bin/pip install --quiet "$(sed -n "s/^\($tool==[^ ]*\).*/\1/p" requirements.lock)" || exit 1; \
    done
RUN /opt/tools/bin/uv pip compile pyproject.toml --constraint requirements.lock \
      --generate-hashes --quiet --output-file runtime.lock \
 && python -m venv --without-pip /opt/milvus-kit \
 && /opt/tools/bin/uv pip install --quiet --compile-bytecode --python /opt/milvus-kit/bin/python \
      --require-hashes -r runtime.lock
# What is inside, for scanners and for the certificates of the runs that this image makes.
RUN mkdir /opt/milvus-kit/build && cp runtime.lock /opt/milvus-kit/build/requirements.lock \
 && /opt/tools/bin/cyclonedx-py requirements --pyproject pyproject.toml --short-PURLs \
      --output-reproducible -o /opt/milvus-kit/build/sbom.cdx.json runtime.lock
COPY infra ./infra
COPY validation ./validation
COPY stacks ./stacks
COPY sample_data ./sample_data
RUN /opt/tools/bin/uv pip install --quiet --compile-bytecode --python /opt/milvus-kit/bin/python --no-deps .

FROM ${BASE}
LABEL org.opencontainers.image.title="milvus-kit" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/milvus-kit /opt/milvus-kit
ENV PATH=/opt/milvus-kit/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The pods' security context says the same; the root file system is read-only there.
USER 1000:1000
WORKDIR /runs
ENTRYPOINT ["milvus-kit"]
