package hub

import "fmt"

// Origins says which web pages may talk to the server now.
func (h *Hub) Origins() Origins {
	if o := h.origins.Load(); o != nil {
		return *o
	}
	return h.opts.Origins
}

// Adjust takes those of the options over that may change while the hub runs: Origins, MaxSubscriptions, Rates, and of
// Loops what eventloop.Engine.Adjust takes. All others stay. Pages and subscriptions that there are stay too. After an error nothing
// was changed. Calls must not overlap.
func (h *Hub) Adjust(to Options) error {
	o := h.opts
	o.Origins, o.MaxSubscriptions, o.Rates = to.Origins, to.MaxSubscriptions, to.Rates
	o.setDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	loops := to.Loops
	loops.Rates = o.limits()
	if err := h.engine.Adjust(loops); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	h.origins.Store(&o.Origins)
	h.maxSubscriptions.Store(int64(o.MaxSubscriptions))
	return nil
}
