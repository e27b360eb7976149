// kwok plays nodes and kubelets. It is a program of its own, as its flags clash with those of the control plane.
package main

import (
	"log"

	"github.com/spf13/pflag"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

func main() {
	flags := pflag.NewFlagSet("kwok", pflag.ContinueOnError)
	// The command reads the others itself.
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	started, _ := kwoklog.InitFlags(signals.SetupSignalContext(), flags)
	configured, err := config.InitFlags(started, flags)
	if err != nil {
		log.Fatal(err)
	}
	command := cmd.NewCommand(configured)
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(configured); err != nil {
		log.Fatal(err)
	}
}
