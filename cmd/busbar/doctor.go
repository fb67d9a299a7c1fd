package main

func doctor(args []string, s streams) error { return usagef("doctor: not built yet") }
