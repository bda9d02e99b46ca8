FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY meshtracker ./meshtracker
RUN python -m venv /opt/meshtracker && /opt/meshtracker/bin/pip install --no-cache-dir .

FROM python:3.12-slim
# The directories are made here, so that the volumes mounted over them belong to the user who runs the node.
RUN useradd --system --uid 10001 --no-create-home meshtracker \
    && install -d -o meshtracker -g meshtracker -m 0700 /var/lib/meshtracker /run/meshtracker
COPY --from=build /opt/meshtracker /opt/meshtracker
COPY configs/docker /etc/meshtracker
ENV PATH=/opt/meshtracker/bin:$PATH PYTHONUNBUFFERED=1
USER meshtracker
EXPOSE 6969/tcp 6969/udp 59100/tcp
ENTRYPOINT ["meshtracker"]
CMD ["--help"]
