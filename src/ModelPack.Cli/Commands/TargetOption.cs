using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The <c>--target</c> of the commands that write artifacts.</summary>
internal static class TargetOption
{
    private const string HostName = "host";

    /// <summary>What was asked for, by the name that artifacts record.</summary>
    public static string Get(Session session, Option<string> option) => session.Get(option) is string name && name != HostName ? name : TargetProfiles.Host;

    /// <param name="arithmetic">True for commands that choose arithmetic as well as codecs.</param>
    public static Option<string> Create(bool arithmetic)
    {
        string[] names = [.. TargetProfiles.Names.Where(n => arithmetic || n != TargetProfiles.Int8Only)];
        string integers = arithmetic ? $"; {TargetProfiles.Int8Only} checks that every node runs on 8-bit integers" : "";
        var option = new Option<string>("--target")
        {
            Description = $"Where the artifact will be used: {string.Join(", ", names)}, or {HostName} (this machine); those without AVX-512 imply --portable{integers}",
            HelpName = "profile",
            DefaultValueFactory = _ => TargetProfiles.Generic,
        };
        option.AcceptOnlyFromAmong([.. names, HostName]);
        return option;
    }
}
