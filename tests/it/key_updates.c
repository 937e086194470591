/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS 1.3 server on a port of the system's choice, which it prints: answers each request with
 * argv[3] key updates, made beforehand, and a small 200. argv[1], argv[2]: certificate and key. */
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void serve(SSL_CTX *ctx, int fd, long updates)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    char request[65536], *bytes;
    SSL *ssl = SSL_new(ctx);
    BIO *made = BIO_new(BIO_s_mem());
    SSL_set_fd(ssl, fd);
    BIO_up_ref(SSL_get_rbio(ssl)); /* one BIO of the socket is both */
    while (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof request) > 0) {
        SSL_set0_wbio(ssl, made);
        for (long i = 0; i < updates; i++) {
            SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
            SSL_do_handshake(ssl);
        }
        SSL_write(ssl, ok, sizeof ok - 1);
        long left = BIO_get_mem_data(made, &bytes);
        for (ssize_t n; left > 0 && (n = send(fd, bytes, (size_t)left, MSG_NOSIGNAL)) > 0;
             left -= n)
            bytes += n;
        break; /* one request a connection: what follows would be written to memory */
    }
    SSL_free(ssl);
    close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 4 || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1 ||
        bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 1;
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;)
        serve(ctx, accept(fd, NULL, NULL), strtol(argv[3], NULL, 10));
}
