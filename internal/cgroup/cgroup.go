// Package cgroup finds the files that bound a process's control group (cgroups(7)), of version 1 or 2.
package cgroup

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Files are those called v1 or v2, by the version, for the control group that the process has for a controller, and
// for the groups above it, which bound it too. In a container the path is often the host's, so that only the last
// exists. root is the host's root directory.
func Files(root fs.FS, controller, v1, v2 string) (files []string) {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 is "0::/path"
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", v2
		if parts[1] != "" || parts[0] != "0" {
			if !slices.Contains(strings.Split(parts[1], ","), controller) {
				continue
			}
			mount, file = path.Join("sys/fs/cgroup", controller), v1
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			files = append(files, path.Join(mount, dir, file))
			if dir == "/" {
				break
			}
		}
	}
	return files
}
