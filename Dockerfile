# emopi with microphone and MQTT, for arm64 (Raspberry Pi) and amd64; how to run it: compose.yaml
#   docker build --tag emopi .
#   docker buildx build --platform linux/arm64,linux/amd64 --tag emopi .
ARG DEBIAN=bookworm

FROM debian:${DEBIAN}-slim AS build
# PyAudio has no wheel for Linux: gcc and the headers build it, and stay behind in this stage
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        gcc libc6-dev portaudio19-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
ARG EXTRAS=mic,mqtt
RUN python3 -m venv /opt/emopi \
    && /opt/emopi/bin/pip install --no-cache-dir --no-compile "/src[${EXTRAS}]" \
    && /opt/emopi/bin/pip uninstall --yes pip setuptools

FROM debian:${DEBIAN}-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libportaudio2 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 990 --create-home --home-dir /var/lib/emopi --groups audio emopi
COPY --from=build /opt/emopi /opt/emopi
ENV PATH=/opt/emopi/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 990
WORKDIR /var/lib/emopi
ENTRYPOINT ["emopi"]
CMD ["listen"]
