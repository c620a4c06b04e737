using System.CommandLine;
using Spectre.Console;

namespace ModelPack.Cli;

/// <summary><c>--resume</c> of commands that write large files.</summary>
internal static class ResumeOption
{
    private const string Auto = "auto";

    public static Option<string> Create(string large)
    {
        var option = new Option<string>("--resume")
        {
            Description = $"Whether an interrupted run leaves its finished tensors beside the output (.partial, .resume), from which the same command goes on to the same bytes; auto: for {large}",
            HelpName = "auto|on|off",
            DefaultValueFactory = _ => Auto,
        };
        option.AcceptOnlyFromAmong(Auto, "on", "off");
        return option;
    }

    public static bool? Get(Session session, Option<string> option) => session.Get(option) is not Auto and string given ? given == "on" : null;

    public static void Write(IAnsiConsole console, int resumed)
    {
        if (resumed > 0)
        {
            console.WriteLine($"resumed: {resumed} {(resumed == 1 ? "tensor was" : "tensors were")} finished by an interrupted run");
        }
    }
}
