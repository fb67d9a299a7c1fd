package ask

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Lines asks, and calls take with each line of a 200 while the rest is still on its way, until that is over or take
// fails. Before each it calls ready, told whether that line is here already. It may wait as long as it likes: no more is
// read, and no room taken, meanwhile. MaxBytes bounds a line, and Timeout nothing: ctx does. Errors name the service and
// never what was sent, but for those of ready and take, which come back as they are.
func (s *Service) Lines(ctx context.Context, question any, ready func(here bool) error, take func(line []byte) error) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.name, err)
	}
	release, err := s.hold(ctx, smallAnswer)
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.name, err)
	}
	defer release()
	resp, err := s.do(ctx, body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.name, Bare(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: unexpected status %d", s.name, resp.StatusCode)
	}
	for r := bufio.NewReaderSize(resp.Body, smallAnswer); ; {
		buffered, _ := r.Peek(r.Buffered())
		if err := ready(bytes.IndexByte(buffered, '\n') >= 0); err != nil {
			return err
		}
		switch ended, err := s.line(ctx, r, take); {
		case err != nil:
			return err
		case ended:
			return nil
		}
	}
}

// line reads one line, of which it holds no more than it may until take returns.
func (s *Service) line(ctx context.Context, r *bufio.Reader, take func(line []byte) error) (ended bool, err error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		release, roomErr := s.room(ctx, min(2*s.max, s.maxHeld)) // a slice that grows is there twice
		if roomErr != nil {
			return false, fmt.Errorf("ask %s: %w", s.name, roomErr)
		}
		defer release()
		line = append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) && int64(len(line)) <= s.max {
			var more []byte
			more, err = r.ReadSlice('\n')
			line = append(line, more...)
		}
	}
	switch {
	case int64(len(line)) > s.max:
		return false, fmt.Errorf("ask %s: a line has over %d bytes: %w", s.name, s.max, ErrTooLarge)
	case err != nil && err != io.EOF: // of which errors that wrap it are none
		return false, fmt.Errorf("ask %s: read answer: %w", s.name, Bare(err))
	case len(line) > 0:
		if takeErr := take(line); takeErr != nil {
			return false, takeErr
		}
	}
	return err == io.EOF, nil
}
