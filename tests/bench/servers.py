# SPDX-License-Identifier: Apache-2.0
"""The upstream and the proxies under test, each in a process group of its own with everything it
writes in one temporary directory."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import proc

NGINX_PATH = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
NAME = "up.example"  # the upstream's name, for SNI and the certificate
FORKING = ("upstream", "nginx")
POOL = 2048          # upstream connections every proxy may keep: more than any concurrency here
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CLIENTS = min(10000, DESCRIPTORS - 500)

UPSTREAM = """
worker_processes 1; daemon off; pid {dir}/upstream.pid; error_log {dir}/upstream.err;
{user} worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600; lingering_time 1;
  client_max_body_size 64m; client_body_buffer_size 2m; {temp}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port} ssl; root {dir}/files;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; ssl_protocols TLSv1.3;
    location /1k {{ try_files /1k.bin =404; }}
    location /1m {{ try_files /1m.bin =404; }}
    # Read to its end, then answered: mirror reads bodies, and a static file refuses to be posted.
    location /post {{ mirror /mirror; mirror_request_body on; error_page 405 =200 @ok; try_files /ok.bin =404; }}
    location = /mirror {{ internal; return 204; }}
    location @ok {{ return 200 "ok"; }}
    # A refusal is delayed, and then turned into the file.
    location /slow {{ auth_basic slow; auth_basic_user_file {dir}/nobody; auth_delay 100ms; error_page 401 =200 /1k; }}
    location /hold {{ auth_basic slow; auth_basic_user_file {dir}/nobody; auth_delay 3s; error_page 401 =200 /1k; }}
    # {event} bytes a second to each client.
    location /events {{ default_type text/event-stream; limit_rate {event}; try_files /events.txt =404; }}
  }}
  server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
"""

NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
{user} worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600;
  client_max_body_size 64m; client_body_buffer_size 2m; {temp}
  upstream u {{ server 127.0.0.1:{upstream}; keepalive {pool}; keepalive_requests 100000000; keepalive_timeout 600; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {name};
    proxy_ssl_server_name on; proxy_ssl_name {name}; proxy_ssl_protocols TLSv1.3;
    proxy_ssl_verify on; proxy_ssl_trusted_certificate {dir}/cert.pem;
    location / {{ proxy_pass https://u; }}
    location /events {{ proxy_pass https://u; proxy_buffering off; }}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn {clients}
  no strict-limits
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
listen proxy
  bind 127.0.0.1:{port}
  backlog 4096
  server up 127.0.0.1:{upstream} ssl verify required ca-file {dir}/cert.pem sni str({name}) verifyhost {name} ssl-min-ver TLSv1.3 maxconn {pool} pool-max-conn {pool}
"""

SIGFERRY = """
listen = [ "127.0.0.1:{port}" ]; admin: {{ listen = ""; }};
region = "cn-beijing"; service = "ecs"; workers = {workers}; client_side_validation = false;
profiles: {{ default: {{ provider = "static"; access_key = "AKLTbenchmark"; secret_key = "YmVuY2htYXJr"; }}; }};
{endpoint} connect_to = [ "::127.0.0.1:{upstream}" ]; tls: {{ ca_file = "{dir}/cert.pem"; }};
pool: {{ num_pools = {hosts}; connection_pool_maxsize = {pool}; max_pending = 100000; pending_timeout = 600.0; idle_timeout = 600.0; max_age = 3600.0; }};
timeouts: {{ client_idle_timeout = 600.0; }}; limits: {{ max_connections = 20000; body_memory = "2M"; {limits} }};
log: {{ access = {access}; {logfile} }};
"""


def many_host(label):
    """The name of one of many upstream hosts: a service's endpoint."""
    return "%s.cn-beijing.volcengineapi.com" % label


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def version(argv, pattern):
    out = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(pattern, out.stdout + out.stderr)
    return found[1] if found else "?"


class Server:
    """A started process; pids() are those whose CPU time and memory count."""

    def __init__(self, name, argv, port, directory, env=None):
        self.name, self.port = name, port
        self.log = open(os.path.join(directory, name.replace(" ", "-") + ".log"), "wb")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env=env, start_new_session=True)
        self.wait_port()

    def wait_port(self):
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(self.log.name, encoding="utf-8", errors="replace") as f:
                        raise SystemExit("%s did not start:\n%s" % (self.name, f.read()))
                time.sleep(0.02)

    def pids(self):
        """The process itself, or (nginx) the children that do its work: they come a moment after
        the port."""
        end = time.monotonic() + 10
        while not (found := proc.children(self.process.pid)) and self.name in FORKING:
            if time.monotonic() > end:
                raise SystemExit("%s has no worker" % self.name)
            time.sleep(0.02)
        return found or [self.process.pid]

    def pin(self, cpus):
        proc.pin({self.process.pid, *self.pids()}, cpus)

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def make_files(directory):
    files = os.path.join(directory, "files")
    os.mkdir(files)
    for name, size in (("1k.bin", 1024), ("1m.bin", 1 << 20), ("ok.bin", 2)):
        with open(os.path.join(files, name), "wb") as f:
            f.write(b"x" * size)
    with open(os.path.join(files, "events.txt"), "wb") as f:
        f.write(b"data: 0123456789abcdefghijklmnopqrstuvwxyz\n\n" * 20000)
    open(os.path.join(directory, "nobody"), "wb").close()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=" + NAME,
                    "-addext", "subjectAltName=DNS:%s,DNS:%s,IP:127.0.0.1" % (NAME, many_host("*")),
                    "-keyout", os.path.join(directory, "key.pem"),
                    "-out", os.path.join(directory, "cert.pem")], check=True, capture_output=True)


class Bench:
    """The temporary directory, the upstream, and how to start each proxy in front of it."""

    def __init__(self, directory, binary):
        """binary: sigferry's path."""
        self.dir, self.binary = directory, binary
        make_files(directory)
        self.started = []
        self.status_port = free_port()
        self.upstream = self.nginx("upstream", UPSTREAM, status=self.status_port, event=92)

    def write(self, name, text, **values):
        path = os.path.join(self.dir, name)
        temp = " ".join("%s_temp_path %s/%s-%s;" % (k, self.dir, name, k) for k in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.getuid() == 0 else ""
        with open(path, "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(text.format(dir=self.dir, name=NAME, temp=temp, user=user, **values))
        return path

    def start(self, *args, **kw):
        server = Server(*args, directory=self.dir, **kw)
        self.started.append(server)
        return server

    def nginx(self, name, text, **values):
        port = free_port()
        path = self.write(name + ".conf", text, port=port, **values)
        return self.start(name, [NGINX_PATH, "-p", self.dir, "-e",
                                 os.path.join(self.dir, name + ".err"), "-c", path], port)

    def proxy_nginx(self, name="nginx", pool=POOL):
        return self.nginx(name, NGINX, upstream=self.upstream.port, pool=pool)

    def proxy_haproxy(self, name="haproxy", pool=POOL):
        port = free_port()
        path = self.write(name + ".cfg", HAPROXY, port=port, upstream=self.upstream.port,
                          pool=pool, clients=CLIENTS)
        return self.start(name, ["haproxy", "-db", "-f", path],
                          port)

    def proxy_sigferry(self, name="sigferry", pool=POOL, workers=1, hosts=1, access=None,
                       limits=""):
        """access: None for no access log, else the file it goes to. hosts: 1 for one upstream
        whatever is asked for, else how many endpoints it keeps connections to."""
        port = free_port()
        path = self.write(name + ".conf", SIGFERRY, port=port, upstream=self.upstream.port,
                          pool=pool, workers=workers, limits=limits, hosts=hosts,
                          endpoint='endpoint: { host = "%s"; };' % NAME if hosts == 1 else "",
                          access="true" if access else "false",
                          logfile='file = "%s";' % access if access else "")
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self.dir}
        return self.start(name, [self.binary, "run", "-c", path], port, env=env)

    def proxy_sigv4(self, name, binary):
        """The Go proxy that signs for another cloud: the work is alike."""
        port = free_port()
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self.dir,
               "AWS_ACCESS_KEY_ID": "AKIABENCHMARK", "AWS_SECRET_ACCESS_KEY": "YmVuY2htYXJr"}
        return self.start(name, [binary, "--port", "127.0.0.1:%d" % port, "--name", "es", "--region",
                                 "us-east-1", "--host", "127.0.0.1:%d" % self.upstream.port,
                                 "--no-verify-ssl"], port, env=env)

    def upstream_accepts(self):
        """Connections the upstream has accepted, this question's own among them."""
        with urllib.request.urlopen("http://127.0.0.1:%d/" % self.status_port, timeout=10) as r:
            return int(re.search(r"requests\s+(\d+)", r.read().decode())[1])

    def retire(self, server):
        server.stop()
        self.started.remove(server)

    def stop(self):
        for server in reversed(self.started):
            server.stop()
