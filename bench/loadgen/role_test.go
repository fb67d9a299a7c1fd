package loadgen

import (
	"testing"
	"unsafe"
)

func TestRolesAreSpread(t *testing.T) {
	for _, test := range []struct {
		roles         Roles
		clients, stop int
		stay          int
	}{
		{Roles{}, 10, 0, 10},
		{Roles{Stalled: 0.01}, 15_000, 150, 14_850},
		{Roles{Stalled: 0.25}, 8, 2, 6},
		{Roles{Churn: true}, 10, 0, 5},
		{Roles{Stalled: 0.1, Churn: true}, 100, 10, 50},
	} {
		if stop, stay := test.roles.Count(test.clients); stop != test.stop || stay != test.stay {
			t.Errorf("%+v: %d of %d stop reading, %d stay; want %d and %d", test.roles, stop, test.clients, stay, test.stop, test.stay)
		}
	}
}

// A worker without a client that stays and reads could tell nobody how far its clients are.
func TestEveryWorkerHasAClientThatStays(t *testing.T) {
	for percent := range 26 {
		for _, churn := range []bool{false, true} {
			r := Roles{Stalled: float64(percent) / 100, Churn: churn}
			for first := range 1000 {
				stay := 0
				for i := first; i < first+clientsPerWorker; i++ {
					if r.of(i) == 0 {
						stay++
					}
				}
				if stay == 0 {
					t.Fatalf("%+v: none of the clients %d to %d stays", r, first, first+clientsPerWorker-1)
				}
			}
		}
	}
}

func TestAClientTakes32Bytes(t *testing.T) {
	if size := unsafe.Sizeof(member{}); size != 32 {
		t.Errorf("%d bytes", size)
	}
}
