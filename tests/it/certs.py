# SPDX-License-Identifier: Apache-2.0
"""Throw-away certificates for the scripted upstream, made with the openssl command once a session."""

import subprocess
from pathlib import Path

SUFFIXES = ("volcengineapi.com", "volcengine-api.com", "byteplusapi.com", "byteplus-api.com")
REGIONS = ("cn-beijing", "cn-beijing-autodriving", "cn-north-1", "ap-southeast-1", "ap-southeast-2",
           "ap-southeast-3", "my-lab-1", "cn-mylab-2")
NAMES = ["localhost", "ecs.internal", "alt.internal", "custom.internal"]
NAMES += ["*." + s for s in SUFFIXES]
NAMES += ["*.%s.%s" % (r, s) for r in REGIONS for s in SUFFIXES]
NAMES += ["*.%s.%s.cn" % (r, s) for r in REGIONS for s in SUFFIXES if s.startswith("byteplus")]
GOOD = ",".join("DNS:" + n for n in NAMES) + ",IP:127.0.0.1"

# Python 3.13 insists on all that RFC 5280 asks for.
EXTENSIONS = """subjectAltName=%s
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
keyUsage=critical,digitalSignature
"""

CA_CONF = """[ca]
default_ca = it
[it]
dir = %(dir)s
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def openssl(*args):
    run = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
    assert run.returncode == 0, "openssl %s: %s" % (args[0], run.stderr)


class Certs:
    """ca is the file the daemon trusts; pair(name) gives certificate and key files for "good",
    "expired", "wronghost" and "untrusted"."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.ca = self.make_ca("ca")
        self.make_ca("stranger")
        self.make("good", "ca", GOOD)
        self.make("wronghost", "ca", "DNS:unrelated.example")
        self.make("untrusted", "stranger", GOOD)
        self.make("expired", "ca", GOOD, ("20200101000000Z", "20200201000000Z"))

    def pair(self, name):
        return self.dir / (name + ".pem"), self.dir / (name + ".key")

    def make_ca(self, name):
        pem, key = self.pair(name)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", 30, "-subj", "/CN=test authority " + name, "-addext",
                "keyUsage=critical,keyCertSign,cRLSign", "-keyout", key, "-out", pem)
        return pem

    def make(self, name, ca, san, dates=None):
        pem, key = self.pair(name)
        csr, ext = self.dir / (name + ".csr"), self.dir / (name + ".ext")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=upstream " + name, "-keyout", key, "-out", csr)
        ext.write_text(EXTENSIONS % san)
        ca_pem, ca_key = self.pair(ca)
        if not dates:
            openssl("x509", "-req", "-in", csr, "-CA", ca_pem, "-CAkey", ca_key, "-CAcreateserial",
                    "-days", 30, "-extfile", ext, "-out", pem)
            return
        conf = self.dir / "ca.conf"
        conf.write_text(CA_CONF % {"dir": self.dir})
        (self.dir / "index.txt").write_text("")
        (self.dir / "serial").write_text("1000\n")
        openssl("ca", "-batch", "-notext", "-config", conf, "-cert", ca_pem, "-keyfile", ca_key,
                "-startdate", dates[0], "-enddate", dates[1], "-extfile", ext, "-in", csr,
                "-out", pem)
