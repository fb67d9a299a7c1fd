// Package auth turns bearer tokens into identities: from sessions in SQLite (the table
// that Pylon writes), from JSON Web Tokens, by asking an HTTP service, or not at all.
//
// Every type here that implements hub.Authenticator is safe from any goroutine, and its
// Cached method only reads memory. Tokens and keys never appear in errors or logs.
package auth
