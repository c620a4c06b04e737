using BenchmarkDotNet.Running;
using ModelPack.Benchmarks;

// `--quick [results-folder]`, `--quick-codecs [results-folder]`: minimum times of a few seconds, as a table beside memcpy. Otherwise BenchmarkDotNet with its own options.
if (args is ["--quick", ..])
{
    return QuickTables.Run(args.Length > 1 ? args[1] : null, Console.Out);
}

if (args is ["--quick-codecs", ..])
{
    return QuickTables.RunCodecs(args.Length > 1 ? args[1] : null, Console.Out);
}

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
return 0;
