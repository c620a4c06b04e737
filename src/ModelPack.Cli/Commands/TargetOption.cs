using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The <c>--target</c> of the commands that write artifacts.</summary>
internal static class TargetOption
{
    /// <param name="arithmetic">True for commands that choose arithmetic as well as codecs.</param>
    public static Option<string> Create(bool arithmetic)
    {
        string[] names = [.. TargetProfiles.Names.Where(n => arithmetic || n != TargetProfiles.Int8Only)];
        string integers = arithmetic ? $"; {TargetProfiles.Int8Only} checks that every node runs on 8-bit integers" : "";
        var option = new Option<string>("--target")
        {
            Description = $"Where the artifact will be used: {string.Join(", ", names)}; those without AVX-512 imply --portable{integers}",
            HelpName = "profile",
            DefaultValueFactory = _ => TargetProfiles.Generic,
        };
        option.AcceptOnlyFromAmong(names);
        return option;
    }
}
