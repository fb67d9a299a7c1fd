package main

func session(args []string, s streams) error { return usagef("session: not built yet") }
