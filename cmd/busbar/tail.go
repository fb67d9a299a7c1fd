package main

func tail(args []string, s streams) error { return usagef("tail: not built yet") }
