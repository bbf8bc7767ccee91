# The service as an image, which runs `device-assignment serve` as a user without rights, with its data in /data.
#
#   docker build -t device-assignment .
#   docker volume create device-assignment
#   docker run --rm -v device-assignment:/data device-assignment db upgrade
#   docker run --rm -v device-assignment:/data device-assignment org create acme
#   docker run --rm -v device-assignment:/data device-assignment key create --org acme
#   docker run -d -v device-assignment:/data -p 127.0.0.1:50051:50051 device-assignment
#
# serves gRPC. REST beside it, with /docs:
#
#   docker run -d -v device-assignment:/data -p 127.0.0.1:50051:50051 -p 127.0.0.1:8080:8080 device-assignment \
#     serve --grpc-address 0.0.0.0:50051 --rest-address 0.0.0.0:8080 --insecure
#
# REST alone, in front of a server elsewhere, which the health check below does not fit:
#
#   docker run -d --no-healthcheck -p 127.0.0.1:8080:8080 device-assignment \
#     gateway --grpc-target SERVER:50051 --rest-address 0.0.0.0:8080 --insecure
#
# What follows the image's name replaces `serve` and its options, so every command of `device-assignment` is at hand,
# also as `docker exec CONTAINER device-assignment …`.
#
# Without a name of its own for it, the service listens on every address of the container, in plaintext: that port is
# the container's until somebody publishes it, and the TLS of a proxy or a mesh usually ends in front of it. With TLS
# of its own:
#
#   docker run -v /path/to/tls:/tls:ro --no-healthcheck … device-assignment \
#     serve --grpc-address 0.0.0.0:50051 --tls-cert /tls/cert.pem --tls-key /tls/key.pem
#
# The files must be readable by the user 10001. The health check below speaks plaintext to port 50051, so another
# port or TLS needs another one.
#
# `serve` is the container's first process and can be: it handles its signals itself, and with `--workers N` or REST its
# supervisor also buries what is left behind. Give it more time to stop than Docker's 10 seconds: `--stop-timeout 30`,
# and 60 with REST, which stops first.
#
# PostgreSQL instead of the file in /data: -e DEVICE_ASSIGNMENT_DATABASE_URL=postgresql+psycopg://…

# Any image with Python 3.11 or newer as `python3`, `venv` included, and `useradd`. A tag can move. So that every build has
# the same base, give the digest of the one that you have tried:
#
#   docker build --build-arg PYTHON_IMAGE_DIGEST=@sha256:… -t device-assignment .
#
# `docker image inspect --format '{{index .RepoDigests 0}}' python:3.13-slim` prints it. The packages, those that build
# included, are pinned by hashes in requirements.lock and requirements-build.lock.
ARG PYTHON_IMAGE=python:3.13-slim
ARG PYTHON_IMAGE_DIGEST=

FROM ${PYTHON_IMAGE}${PYTHON_IMAGE_DIGEST} AS build
WORKDIR /src
# The environment that is shipped never has pip in it: another one installs into it.
RUN python3 -m venv /installer && python3 -m venv --without-pip /opt/device-assignment
COPY requirements.lock requirements-build.lock ./
RUN /installer/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
  && /installer/bin/pip --python /opt/device-assignment/bin/python install --no-cache-dir \
  --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY generated generated
COPY service service
RUN /installer/bin/pip wheel --no-cache-dir --no-index --no-build-isolation --no-deps --wheel-dir /wheels . \
  && /installer/bin/pip --python /opt/device-assignment/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM ${PYTHON_IMAGE}${PYTHON_IMAGE_DIGEST}
# The base's own installers go too: what runs here installs nothing.
RUN if python3 -m pip --version >/dev/null 2>&1; then python3 -m pip uninstall --yes --root-user-action=ignore pip; fi \
  && rm -rf "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip" /usr/share/python-wheels \
  && groupadd --gid 10001 device-assignment \
  && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin device-assignment \
  && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/device-assignment /opt/device-assignment
ENV PATH=/opt/device-assignment/bin:$PATH \
  PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1 \
  DEVICE_ASSIGNMENT_DATABASE_URL=sqlite:////data/device-assignment.db
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python3", "-c", "\
import grpc; \
from grpc_health.v1 import health_pb2 as pb, health_pb2_grpc as health; \
channel = grpc.insecure_channel('127.0.0.1:50051', [('grpc.enable_http_proxy', 0)]); \
answer = health.HealthStub(channel).Check(pb.HealthCheckRequest(), timeout=4); \
raise SystemExit(answer.status != pb.HealthCheckResponse.SERVING)"]
ENTRYPOINT ["device-assignment"]
CMD ["serve", "--grpc-address", "0.0.0.0:50051", "--insecure"]
