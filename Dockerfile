# The plugin with all that it needs, for staging Jobs and probes (docs/stage.md):
#
#   docker build -t REGISTRY/kubectl-fluidmodel:0.1.0 .
#   docker push REGISTRY/kubectl-fluidmodel:0.1.0
#   kubectl fluidmodel cache org/model --to s3://models --image REGISTRY/kubectl-fluidmodel:0.1.0
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml setup.cfg constraints.txt LICENSE README.md ./
COPY kubectl_fluidmodel kubectl_fluidmodel
RUN python -m pip install --no-cache-dir --prefix=/install -c constraints.txt .

FROM python:3.12-slim
COPY --from=build /install /usr/local
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["kubectl-fluidmodel"]
CMD ["--help"]
