package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// percent is a share that is written as 1% or 0.01.
type percent float64

// Set reads a share.
func (p *percent) Set(text string) error {
	number, isPercent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is no share; write 1%% or 0.01", text)
	}
	if isPercent {
		v /= 100
	}
	*p = percent(v)
	return nil
}

// String is the share in percent.
func (p *percent) String() string { return strconv.FormatFloat(float64(*p)*100, 'g', -1, 64) + "%" }
