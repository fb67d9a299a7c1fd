// Package poll is what eventloop knows of gnet's insides, epoll and /proc.
package poll
