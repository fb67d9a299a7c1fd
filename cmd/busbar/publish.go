package main

func publish(args []string, s streams) error { return usagef("publish: not built yet") }
