# The app in one small image: `bx24app up`, or one of its parts (`docker run … web`, `worker`, `cron`).
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS pages
WORKDIR /build
COPY requirements-node.txt package.json package-lock.json ./
COPY scripts/vendor.py scripts/vendor.py
RUN pip install --no-cache-dir --require-hashes -r requirements-node.txt && python scripts/vendor.py

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /app
COPY requirements-otel.txt pyproject.toml README.md ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements-otel.txt
COPY app.py babel.cfg ./
COPY bx24app bx24app
COPY migrations migrations
COPY templates templates
COPY translations translations
COPY static static
COPY --from=pages /build/static/vendor static/vendor
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && .venv/bin/pip uninstall -y pip \
    && .venv/bin/python -m compileall -q bx24app

FROM python:${PYTHON}-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin bx24app && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BX24APP_DATA_DIR=/data \
    BX24APP_LOG_FORMAT=json
WORKDIR /app
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["bx24app"]
CMD ["up", "--host", "0.0.0.0", "--port", "8000"]
