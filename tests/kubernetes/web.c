/* The workload of the cluster tests: a web server on port 8080 over IPv4 and IPv6. Every path is answered with the
 * name of the node it runs on (NODE), /client with the address that the connection came from. After SIGTERM it goes on
 * for LINGER seconds, as a workload should whose address others still know, and ends with 0. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static unsigned linger = 5;

static void terminate(int signal) {
    (void)signal;
    if (linger == 0)
        _exit(0);
    alarm(linger);
}

static void end(int signal) {
    (void)signal;
    _exit(0);
}

static void answer(int connection, const struct sockaddr_in6 *peer) {
    char request[2048] = "", client[INET6_ADDRSTRLEN] = "", response[512];
    const struct timeval patience = {.tv_sec = 2};
    const char *node = getenv("NODE"), *word = node ? node : "nobody";
    size_t length = 0;
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t more = read(connection, request + length, sizeof request - 1 - length);
        if (more <= 0)
            return;
        length += (size_t)more;
        request[length] = 0;
    }
    if (strncmp(request, "GET /client ", 12) == 0) {
        inet_ntop(AF_INET6, &peer->sin6_addr, client, sizeof client);
        /* An IPv4 client of a socket for both families (RFC 4291, section 2.5.5.2). */
        word = strncmp(client, "::ffff:", 7) == 0 ? client + 7 : client;
    }
    int size = snprintf(response, sizeof response,
                        "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(word), word);
    if (size > 0 && write(connection, response, (size_t)size) != size)
        return;
    shutdown(connection, SHUT_WR);
}

int main(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(8080)}, peer;
    int yes = 1, listener = socket(AF_INET6, SOCK_STREAM, 0);
    if (getenv("LINGER"))
        linger = (unsigned)atoi(getenv("LINGER"));
    signal(SIGTERM, terminate);
    signal(SIGALRM, end);
    signal(SIGCHLD, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512)) {
        perror("cannot listen on port 8080");
        return 1;
    }
    for (;;) {
        socklen_t size = sizeof peer;
        int connection = accept(listener, (struct sockaddr *)&peer, &size);
        /* A process each: a client that says nothing keeps nobody waiting. */
        if (connection >= 0 && fork() == 0) {
            signal(SIGTERM, SIG_DFL);
            answer(connection, &peer);
            _exit(0);
        }
        if (connection >= 0)
            close(connection);
    }
}
