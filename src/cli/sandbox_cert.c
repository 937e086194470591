/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the sandbox's certificates: a CA for the occasion and one server certificate. The CA's key
 * is freed as soon as it has signed that one and never leaves this file. */
#include "cli/sandbox.h"

#include "base/secret.h"
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { DAYS = 30, SERIAL_LEN = 16 };

static bool set_serial(X509 *x)
{
    unsigned char b[SERIAL_LEN];
    if (RAND_bytes(b, sizeof b) != 1)
        return false;
    b[0] &= 0x7F; /* positive */
    BIGNUM *n = BN_bin2bn(b, sizeof b, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

static bool set_name(X509_NAME *name, const char *cn)
{
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"sigferry",
                                      -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                      0) == 1;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

/* An IP address in text becomes its bytes, anything else is a DNS name. */
static GENERAL_NAME *make_name(const char *text)
{
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(text);
    if (g && ip) {
        GENERAL_NAME_set0_value(g, GEN_IPADD, ip);
        return g;
    }
    ERR_clear_error(); /* not an address: no error */
    ASN1_IA5STRING *dns = ASN1_IA5STRING_new();
    if (g && dns && ASN1_STRING_set(dns, text, -1) == 1) {
        GENERAL_NAME_set0_value(g, GEN_DNS, dns);
        return g;
    }
    ASN1_OCTET_STRING_free(ip);
    ASN1_IA5STRING_free(dns);
    GENERAL_NAME_free(g);
    return NULL;
}

static bool add_names(X509 *x, const char *const *names, size_t n)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    bool ok = all != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        GENERAL_NAME *g = make_name(names[i]);
        ok = g && sk_GENERAL_NAME_push(all, g) > 0;
        if (!ok)
            GENERAL_NAME_free(g);
    }
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1;
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
    return ok;
}

/* Everything but extensions and signature. The time begins an hour ago: clocks differ. */
static X509 *begin_cert(EVP_PKEY *key, const char *cn)
{
    X509 *x = X509_new();
    if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
        X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
        X509_time_adj_ex(X509_getm_notAfter(x), DAYS, 0, NULL) &&
        set_name(X509_get_subject_name(x), cn) && X509_set_pubkey(x, key) == 1)
        return x;
    X509_free(x);
    return NULL;
}

static X509 *make_ca(EVP_PKEY *key)
{
    X509 *x = begin_cert(key, "sigferry sandbox CA");
    if (x && X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 &&
        add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(x, x, NID_key_usage, "critical,keyCertSign") &&
        add_extension(x, x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()))
        return x;
    X509_free(x);
    return NULL;
}

static X509 *make_leaf(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, const char *const *names,
                       size_t n)
{
    X509 *x = begin_cert(key, "sigferry sandbox");
    if (x && X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
        add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(x, ca, NID_key_usage, "critical,digitalSignature") &&
        add_extension(x, ca, NID_ext_key_usage, "serverAuth") &&
        add_extension(x, ca, NID_subject_key_identifier, "hash") &&
        add_extension(x, ca, NID_authority_key_identifier, "keyid:always") &&
        add_names(x, names, n) && X509_sign(x, ca_key, EVP_sha256()))
        return x;
    X509_free(x);
    return NULL;
}

/* The PEM text of one of the two; NULL on failure. */
static char *to_pem(X509 *x, EVP_PKEY *key)
{
    BIO *b = BIO_new(BIO_s_secmem());
    char *data, *out = NULL;
    bool ok = b && (x ? PEM_write_bio_X509(b, x) == 1
                      : PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1);
    long n = ok ? BIO_get_mem_data(b, &data) : 0;
    if (n > 0 && (out = malloc((size_t)n + 1))) {
        memcpy(out, data, (size_t)n);
        out[n] = '\0';
    }
    BIO_free(b);
    return out;
}

bool sandbox_cert_make(struct sandbox_cert *out, const char *const *names, size_t n, char *msg,
                       size_t msgsize)
{
    *out = (struct sandbox_cert){NULL, NULL, NULL};
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key ? make_ca(ca_key) : NULL;
    X509 *leaf = ca && key ? make_leaf(key, ca, ca_key, names, n) : NULL;
    if (leaf) {
        out->ca = to_pem(ca, NULL);
        out->cert = to_pem(leaf, NULL);
        out->key = to_pem(NULL, key);
    }
    bool ok = out->ca && out->cert && out->key;
    if (!ok) {
        char text[200];
        ERR_error_string_n(ERR_get_error(), text, sizeof text);
        snprintf(msg, msgsize, "a certificate could not be made: %s", text);
        sandbox_cert_free(out);
    }
    X509_free(leaf);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return ok;
}

void sandbox_cert_free(struct sandbox_cert *c)
{
    if (c->key)
        secret_wipe(c->key, strlen(c->key));
    free(c->ca);
    free(c->cert);
    free(c->key);
    *c = (struct sandbox_cert){NULL, NULL, NULL};
}
