package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"golang.org/x/time/rate"

	"github.com/busbar-ws/busbar/internal/auth/ask"
)

const (
	fetchTimeout = 5 * time.Second
	maxKeySet    = 1 << 20 // bytes
	maxKeys      = 256

	// unknownKeyInterval bounds the fetches that tokens with invented key ids can cause.
	unknownKeyInterval = 10 * time.Second
)

// loadKeySet fetches the key set and refreshes it until j.stop is called.
func (j *JWT) loadKeySet() (algs []string, err error) {
	name, err := ask.Name(j.opts.JWKSURL)
	if err != nil {
		return nil, fmt.Errorf("JWKS URL: %w", err)
	}
	// Only algorithms with public keys: a symmetric key that is served is no secret.
	algs = slices.DeleteFunc(slices.Clone(j.opts.Algorithms), func(a string) bool { return strings.HasPrefix(a, "HS") })
	if len(algs) == 0 {
		return nil, fmt.Errorf("key set %s: none of the algorithms %v uses public keys", name, j.opts.Algorithms)
	}
	ctx, stop := context.WithCancel(context.Background())
	set, err := j.fetchKeySet(ctx, name)
	if err != nil {
		stop()
		return nil, fmt.Errorf("key set %s: %w", name, err)
	}
	j.stop, j.key = stop, set.find
	return algs, nil
}

func (j *JWT) fetchKeySet(ctx context.Context, name string) (*keySet, error) {
	client := ask.NewClient(j.opts.Client, 1)
	stale := new(atomic.Bool)
	client.Transport = ask.Bounded{Next: client.Transport, Max: maxKeySet}
	context.AfterFunc(ctx, client.CloseIdleConnections)
	stored, err := jwkset.NewStorageFromHTTP(j.opts.JWKSURL, jwkset.HTTPClientStorageOptions{
		Client:          client,
		Ctx:             ctx,
		Storage:         &freshness{jwkset.NewMemoryStorage(), stale},
		HTTPTimeout:     fetchTimeout,
		RefreshInterval: j.opts.RefreshInterval,
		RefreshErrorHandler: func(_ context.Context, err error) {
			stale.Store(true)
			if ctx.Err() == nil {
				j.opts.Log.Warn("refresh JWT key set", "url", name, "error", ask.Bare(err))
			}
		},
	})
	if err != nil {
		return nil, ask.Bare(err)
	}
	if err := checkKeys(ctx, stored); err != nil {
		return nil, err
	}
	fetching, err := jwkset.NewHTTPClient(jwkset.HTTPClientOptions{
		HTTPURLs:          map[string]jwkset.Storage{j.opts.JWKSURL: stored},
		RateLimitWaitMax:  fetchTimeout, // it bounds the fetch as well
		RefreshUnknownKID: rate.NewLimiter(rate.Inf, 1),
	})
	if err != nil {
		return nil, err
	}
	lookup, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: fetching})
	return &keySet{stored, lookup, rate.NewLimiter(rate.Every(unknownKeyInterval), 1), stale}, err
}

func checkKeys(ctx context.Context, stored jwkset.Storage) error {
	keys, err := stored.KeyReadAll(ctx)
	switch {
	case err != nil:
		return err
	case len(keys) == 0:
		return errors.New("it holds no key that can be used")
	case len(keys) > maxKeys:
		return fmt.Errorf("it holds %d keys, over the limit of %d", len(keys), maxKeys)
	}
	return nil
}
