using System.CommandLine;

namespace ModelPack.Cli;

/// <summary>The <c>--portable</c> of the commands that write artifacts.</summary>
internal static class PortableOption
{
    public static Option<bool> Create() =>
        new("--portable") { Description = "Only codecs that decode fast on every machine, not those made for AVX-512" };
}
