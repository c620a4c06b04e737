using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary><c>modelpack formats</c>.</summary>
internal static class FormatsCommand
{
    public static Command Create(CliHost host)
    {
        var command = new Command("formats", "List number formats, structures and codecs with bits per weight and error");
        command.SetAction(parsed => Session.Run(host, parsed, session =>
        {
            FormatsResult result = Catalogue.Formats();
            session.Show(result, JsonOutput.Types.FormatsResult, console =>
            {
                var table = new TextTable("name", "kind", ">bits/weight", ">MSE on N(0,1)", ">capacity", "what it is");
                foreach (FormatRow row in result.Formats)
                {
                    table.Add(row.Name, row.Kind, Words.Fixed(row.BitsPerWeight, 3), Words.Number(row.GaussianMse), Words.Fixed(row.Capacity, 3), row.Summary);
                }

                table.WriteTo(console);
            });
            return ExitCodes.Done;
        }));
        return command;
    }
}
