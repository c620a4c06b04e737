using ModelPack.Cli;

return CommandLine.Run(args);
