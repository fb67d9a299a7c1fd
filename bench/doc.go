// Package bench measures WebSocket fan-out servers: it starts a server as a process of
// its own, connects clients to it from worker processes, publishes through the server's
// control connection, checks that every client got every message once and in order, and
// says what each delivery cost the server.
//
// A server that can be measured is a Target: a program that takes -listen and -control,
// prints "ready", and speaks the control protocol that Control describes.
package bench
