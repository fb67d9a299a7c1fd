// The cheapest sender: an array of sockets, frames encoded once, and a loop of sends that don't
// block, on one thread that does everything else as well. "peers raw" and "peers raw-batch" start it
// with their name and the descriptors of their listeners. raw sends each record by itself, raw-batch
// whatever is pending on the control connection at once.
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 1 << 21, MAX_RECORD = 16 << 20, INPUT = 256 << 10, BATCH = 1 << 20 };

static int epoll, batch, listener, control, bench = -1; // bench is the control connection, control its listener
static int client[MAX_FD], clients;                     // sockets past their handshake
static int place[MAX_FD];                               // by descriptor: 1 + its index in client, or 0
static uint8_t in[MAX_RECORD + INPUT], out[MAX_RECORD + 2 * INPUT + BATCH];
static size_t unread, pending, collected; // bytes of in and of out, messages in out
static long long sends, deliveries, again;

static void die(const char *what) {
	fprintf(stderr, "peers: raw: %s: %m\n", what);
	_exit(1);
}

static void end(int signal) { _exit(signal != SIGTERM && signal != SIGINT); }

static void watch(int fd) {
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("watching a socket");
}

static int accept_from(int from) { return accept4(from, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

static void drop(int fd) { // the last of client takes its place
	if (place[fd]) {
		int last = client[--clients];
		client[place[fd] - 1] = last;
		place[last] = place[fd];
	}
	place[fd] = 0;
	close(fd);
}

// Sends all of it and says whether the client is still there. Nothing may be lost, so that a
// client that doesn't read stops everybody; one that has shut its side down meanwhile is gone.
static int send_all(int fd, const void *from, size_t n) {
	for (const char *b = from; n > 0;) {
		ssize_t sent = send(fd, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		sends++;
		if (sent >= 0) {
			b += sent, n -= sent;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT | POLLRDHUP};
			again++;
			while (poll(&p, 1, -1) < 0 && errno == EINTR) {}
			if (!(p.revents & POLLOUT)) return 0;
		} else if (errno != EINTR) {
			return 0;
		}
	}
	return 1;
}

// Writes the Sec-WebSocket-Accept of a key of 24 characters (RFC 6455, 4.2.2): SHA-1 (RFC 3174) of
// these and a GUID of 36, which with the padding are two blocks, in Base64.
static void accept_key(const char *key, char answer[28]) {
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, v[5], w[80], block[32] = {0};
	memcpy(block, key, 24);
	memcpy(block + 6, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
	block[15] = htobe32(1u << 31), block[31] = htobe32(60 * 8);
	for (int b = 0; b < 32; b += 16) {
		memcpy(v, h, sizeof v);
		for (int i = 0; i < 80; i++) {
			uint32_t x = i < 16 ? 0 : w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
			w[i] = i < 16 ? be32toh(block[b + i]) : x << 1 | x >> 31;
			uint32_t f = i < 20   ? ((v[1] & v[2]) | (~v[1] & v[3])) + 0x5A827999
			             : i < 40 ? (v[1] ^ v[2] ^ v[3]) + 0x6ED9EBA1
			             : i < 60 ? ((v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3])) + 0x8F1BBCDC
			                      : (v[1] ^ v[2] ^ v[3]) + 0xCA62C1D6;
			f += (v[0] << 5 | v[0] >> 27) + v[4] + w[i];
			v[4] = v[3], v[3] = v[2], v[2] = v[1] << 30 | v[1] >> 2, v[1] = v[0], v[0] = f;
		}
		for (int i = 0; i < 5; i++) h[i] += v[i];
	}
	uint8_t sum[21] = {0};
	for (int i = 0; i < 20; i++) sum[i] = h[i / 4] >> (24 - i % 4 * 8);
	for (int i = 0; i < 27; i++) {
		const uint8_t *s = sum + i / 4 * 3;
		answer[i] = digits[(s[0] << 16 | s[1] << 8 | s[2]) >> (18 - i % 4 * 6) & 63];
	}
	answer[27] = '=';
}

// Answers a request, and says whether that made a client. It has to have come in one piece.
static int shake(int fd, const char *request) {
	static const char name[] = "\r\nSec-WebSocket-Key: ";
	char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                "Sec-WebSocket-Accept: ............................\r\n\r\n";
	const char *key = strcasestr(request, name);
	if (!key || !strstr(request, "\r\n\r\n") || strcspn(key += sizeof name - 1, "\r") != 24) return 0;
	accept_key(key, answer + sizeof answer - 1 - 32);
	if (!send_all(fd, answer, sizeof answer - 1)) return 0;
	client[clients++] = fd;
	place[fd] = clients;
	return 1;
}

// Says whether the client is still there. What it says after its request nobody wants.
static int read_client(int fd) {
	static char said[64 << 10];
	ssize_t n = recv(fd, said, sizeof said - 1, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
	said[n > 0 ? n : 0] = 0;
	if (n > 0 && (place[fd] || shake(fd, said))) return 1;
	drop(fd);
	return 0;
}

static void accept_clients(void) {
	for (int fd; (fd = accept_from(listener)) >= 0 || errno != EAGAIN;) {
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
		if (fd < 0 || fd >= MAX_FD) die("accepting a client"); // figures of fewer than there should be are none
		if (read_client(fd)) watch(fd); // the request is there already: see TCP_DEFER_ACCEPT
	}
}

static void flush(void) {
	for (int i = 0; collected && i < clients;) {
		if (send_all(client[i], out, pending)) deliveries += collected, i++;
		else drop(client[i]); // puts another client in this place
	}
	pending = collected = 0;
}

static void collect(const uint8_t *payload, size_t n) { // as a binary frame (RFC 6455, 5.2)
	uint8_t *o = out + pending;
	*o++ = 0x82;
	*o++ = n < 126 ? n : n <= 0xFFFF ? 126 : 127;
	for (int bits = n < 126 ? 0 : n <= 0xFFFF ? 16 : 64; bits > 0; bits -= 8) *o++ = (uint64_t)n >> (bits - 8);
	memcpy(o, payload, n);
	pending = o + n - out, collected++;
	if (!batch) flush();
}

// Does what is complete in the input, and says whether the bench made sense.
static int obey(void) {
	size_t at = 0;
	for (uint32_t n; unread - at >= 4; at += 4 + n) {
		memcpy(&n, in + at, 4);
		if ((n = be32toh(n)) == 0xFFFFFFFE) {
			flush(); // what stands before the question counts
			if (dprintf(bench, "{\"clients\":%d,\"sends\":%lld,\"deliveries\":%lld,\"again\":%lld}\n", clients, sends, deliveries, again) < 0)
				return 0;
			n = 0;
		} else if (n > MAX_RECORD) {
			return 0;
		} else if (unread - at - 4 < n) {
			break;
		} else {
			collect(in + at + 4, n);
		}
	}
	memmove(in, in + at, unread -= at);
	return 1;
}

static void read_bench(void) {
	ssize_t n;
	do {
		n = recv(bench, in + unread, INPUT < sizeof in - unread ? INPUT : sizeof in - unread, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
		unread += n > 0 ? n : 0;
		if (n <= 0 || !obey()) {
			close(bench);
			bench = -1, unread = 0;
			watch(control);
		}
	} while (batch && n == INPUT && bench >= 0 && pending < BATCH);
	flush(); // also what stands before the end, or the fault
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	batch = !strcmp(argv[1], "raw-batch"), listener = atoi(argv[2]), control = atoi(argv[3]);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	signal(SIGPIPE, SIG_IGN);
	if (setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) || // which accepted sockets inherit
	    setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){1}, sizeof(int)))
		die("setting options of TCP");
	if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("making an epoll set");
	watch(listener);
	watch(control);
	if (write(STDOUT_FILENO, "ready\n", 6) != 6) die("saying that it is ready");
	for (struct epoll_event events[256];;) {
		int n = epoll_wait(epoll, events, 256, -1);
		if (n < 0 && errno != EINTR) die("waiting for events");
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				accept_clients();
			} else if (fd == bench) {
				read_bench();
			} else if (fd != control) {
				read_client(fd);
			} else if ((bench = accept_from(control)) >= 0) { // the next one waits until this one ends
				epoll_ctl(epoll, EPOLL_CTL_DEL, control, NULL);
				watch(bench);
			}
		}
	}
}
