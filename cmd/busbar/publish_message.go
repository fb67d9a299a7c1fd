package main

import "net/url"

const publishPresenceUsage = `Sends a JSON object to every client, or to those of a tenant, as it is.

Usage: busbar publish presence JSON|- [flags]
`

const publishTopicUsage = `Sends a JSON value to a topic: to every client, or to its subscribers (-routing of the server),
or to those of them that are a tenant's.

Usage: busbar publish topic NAME JSON|- [flags]

Text needs quotes of its own, as in '"text"'.
`

func publishPresence(args []string, s streams) error {
	var f apiFlags
	t := newFlagTable("busbar publish presence", publishPresenceUsage)
	tenant := toTenant(t)
	operands, err := f.operands(t, 1, "a JSON object, or - for standard input", args, s)
	if err != nil {
		return err
	}
	return f.postJSON([]string{"v1", "presence"}, *tenant, operands[0], s)
}

func publishTopic(args []string, s streams) error {
	var f apiFlags
	t := newFlagTable("busbar publish topic", publishTopicUsage)
	tenant := toTenant(t)
	operands, err := f.operands(t, 2, "a topic and a JSON value, or - for standard input", args, s)
	if err != nil {
		return err
	}
	return f.postJSON([]string{"v1", "topics", operands[0]}, *tenant, operands[1], s)
}

// operands declares the server's flags behind those that t has, and reads exactly n
// operands; what says which they are.
func (f *apiFlags) operands(t *flagTable, n int, what string, args []string, s streams) ([]string, error) {
	f.declare(t)
	t.maxOperands = n
	operands, err := t.parseOrHelp(args, s)
	if err == nil && len(operands) < n {
		err = usagef("%s takes %s", t.command, what)
	}
	return operands, err
}

// toTenant declares the flag by which a message is for one tenant.
func toTenant(t *flagTable) *string {
	var tenant string
	t.Group("Message")
	t.Name(&tenant, "tenant", "only to this tenant's clients; without it to those of all tenants, and of none")
	return &tenant
}

// postJSON sends text, or what standard input holds. Whether it is JSON, and of the right
// kind, the server says better than we could.
func (f *apiFlags) postJSON(path []string, tenant, text string, s streams) error {
	body := []byte(text)
	if text == "-" {
		var err error
		if body, err = readBounded(s.in); err != nil {
			return err
		}
	}
	query := url.Values{}
	if tenant != "" {
		query.Set("tenant", tenant)
	}
	return f.post(path, query, "application/json", body, s)
}
