// Package checks holds what is in deploy/ against the programs that it is for: Helm's renderer, the types of Kubernetes'
// API, Prometheus' rules and BuildKit's parser. They are large, so make deploy-check runs these tests, and make test doesn't.
package checks

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write deploy/kubernetes anew")

// rendered is what the chart makes of values, one object a document.
func rendered(t *testing.T, values string) (string, error) {
	t.Helper()
	chart, err := loader.Load("../helm/busbar")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "busbar", Namespace: "busbar", IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, given, release, nil)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(files))
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString("---\n" + strings.TrimSpace(files[name]) + "\n")
	}
	return b.String(), nil
}

// objects are the documents, each read as its kind, where an unknown or repeated field is an error.
func objects(t *testing.T, text string) (byKind map[string][]any) {
	t.Helper()
	byKind = make(map[string][]any)
	for document := range strings.SplitSeq(text, "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		var object any
		switch head.APIVersion + " " + head.Kind {
		case "apps/v1 StatefulSet":
			object = new(apps.StatefulSet)
		case "v1 Service":
			object = new(core.Service)
		case "v1 ConfigMap":
			object = new(core.ConfigMap)
		case "policy/v1 PodDisruptionBudget":
			object = new(policy.PodDisruptionBudget)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			object = new(monitoring.ServiceMonitor)
		default:
			t.Fatalf("an object of kind %s %s", head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Errorf("%s: %v\n%s", head.Kind, err, document)
		}
		byKind[head.Kind] = append(byKind[head.Kind], object)
	}
	return byKind
}

const (
	onNATS = "replicas: 2\nadminToken: {existingSecret: tokens}\nnats: {existingSecret: nats}\nserviceMonitor: {enabled: true}\n" +
		"webSocket: {type: LoadBalancer}\nconfig: {max-per-ip: 100000, guests: true}\nsysctls: [{name: net.core.somaxconn, value: '65535'}]\n"
	threeNodes = "replicas: 3\nadminToken: {existingSecret: busbar-admin}\ncluster: {enabled: true, existingSecret: busbar-cluster}\n"
	asCluster  = "replicas: 3\nadminToken: {existingSecret: tokens}\ncluster: {enabled: true, existingSecret: cluster}\n" +
		"drain: {delaySeconds: 20, overSeconds: 100}\n"
)

// What the chart renders is what Kubernetes knows, and fits together.
func TestChart(t *testing.T) {
	for name, values := range map[string]string{
		"defaults": "", "nats": onNATS, "cluster": asCluster, "in memory": "persistence: {enabled: false}\nconfig: {log: memory}",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := rendered(t, values)
			if err != nil {
				t.Fatal(err)
			}
			all := objects(t, text)
			if len(all["Service"]) != 3 || len(all["PodDisruptionBudget"]) != 1 || len(all["ServiceMonitor"]) > 0 != (name == "nats") {
				t.Fatalf("the objects are\n%s", text)
			}
			set := all["StatefulSet"][0].(*apps.StatefulSet)
			config := all["ConfigMap"][0].(*core.ConfigMap).Data["busbar.conf"]
			pod, labels := set.Spec.Template.Spec, set.Spec.Template.Labels
			drain := int64(0)
			for _, seconds := range regexp.MustCompile(`(?m)^drain(?:-delay)? = (\d+)s$`).FindAllStringSubmatch(config, -1) {
				n, _ := strconv.ParseInt(seconds[1], 10, 64)
				drain += n
			}
			if grace := *pod.TerminationGracePeriodSeconds; drain == 0 || grace < drain+15 {
				t.Errorf("a pod is killed after %d s, and drains for %d", grace, drain)
			}
			for _, s := range all["Service"] {
				for key, value := range s.(*core.Service).Spec.Selector {
					if labels[key] != value {
						t.Errorf("a service looks for %s=%s; pods have %q", key, value, labels[key])
					}
				}
			}
			c := pod.Containers[0]
			ports := make(map[string]bool)
			for _, p := range c.Ports {
				ports[p.Name] = true
			}
			for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if !ports[p.HTTPGet.Port.StrVal] {
					t.Errorf("a probe asks port %s", p.HTTPGet.Port.StrVal)
				}
			}
			understood(t, config, c.Env)
			if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem || len(pod.TopologySpreadConstraints) != 2 {
				t.Error("the pod isn't confined or spread")
			}
		})
	}
}

// understood has the server say what it would do with a file and variables.
func understood(t *testing.T, config string, env []core.EnvVar) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "busbar.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./cmd/busbar", "config", "-config", file)
	cmd.Dir, cmd.Env = "../..", os.Environ()
	for _, v := range env {
		known := map[string]string{"BUSBAR_ADMIN_TOKEN": strings.Repeat("a", 32), "BUSBAR_NATS": "nats://nats:4222", "BUSBAR_NODE": "0"}
		if value, secret := known[v.Name]; secret {
			v.Value = value
		}
		if v.Name != "BUSBAR_CONFIG" && strings.HasPrefix(v.Name, "BUSBAR_") {
			cmd.Env = append(cmd.Env, v.Name+"="+strings.ReplaceAll(v.Value, "$(POD)", "busbar-0"))
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "\ndata = /var/lib/busbar ") {
		t.Errorf("the server says: %v\n%s", err, out)
	}
}

// Values that can't work are refused, and it is said why.
func TestChartRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"replicas: 2":          "more than one replica needs nats or cluster",
		"replica: 2":           "replica",
		"webSocket: {port: x}": "port",
		"replicas: 2\nnats: {existingSecret: nats}":                                                       "one admin token",
		"replicas: 4\nadminToken: {existingSecret: t}\ncluster: {enabled: true, existingSecret: cluster}": "3 or 5",
	} {
		if _, err := rendered(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", values, err)
		}
	}
}

// deploy/kubernetes is what the chart renders, for those who have no Helm: go test -run TestManifests -update writes it.
func TestManifests(t *testing.T) {
	for file, values := range map[string]string{"single.yaml": "", "three-nodes.yaml": threeNodes} {
		text, err := rendered(t, values)
		if err != nil {
			t.Fatal(err)
		}
		path := "../kubernetes/" + file
		text = "# Rendered from deploy/helm/busbar: don't edit it.\n" + strings.ReplaceAll(text, "managed-by: Helm", "managed-by: kubectl")
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != text {
			t.Errorf("%s isn't what the chart renders (%v)", path, err)
		}
	}
}
