using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The <c>--target</c> of the commands that write artifacts.</summary>
internal static class TargetOption
{
    public static Option<string> Create()
    {
        var option = new Option<string>("--target")
        {
            Description = $"Where the artifact will be used: {string.Join(", ", TargetProfiles.Names)}; those without AVX-512 imply --portable",
            HelpName = "profile",
            DefaultValueFactory = _ => TargetProfiles.Generic,
        };
        option.AcceptOnlyFromAmong([.. TargetProfiles.Names]);
        return option;
    }
}
