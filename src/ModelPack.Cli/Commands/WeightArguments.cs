using System.CommandLine;
using System.Globalization;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The options of commands that run models which say where weights are kept.</summary>
internal sealed class WeightArguments
{
    private readonly Option<MemorySize?> _resident = SizeOption.CreateResident();

    private readonly Option<string?> _prepared = new("--prepared")
    {
        Description = "Keep decoded weights of artifacts in this folder: the first opening writes them, later ones map the file and decode nothing. Outputs stay the same; files there may be deleted when nothing runs",
        HelpName = "folder",
    };

    /// <summary>All of them, in the order of the help.</summary>
    public IEnumerable<Option> All => [_resident, _prepared];

    /// <summary>What was given; warnings go to stderr.</summary>
    public WeightStorage Get(Session session) => new(session.Get(_resident)?.Bytes, session.Get(_prepared), session.Quiet ? null : session.ErrorLine);

    /// <summary>What was given, as words of a command line.</summary>
    public static IEnumerable<string> Words(WeightStorage weights)
    {
        if (weights.ResidentBytes is long bytes)
        {
            yield return "--resident";
            yield return bytes.ToString(CultureInfo.InvariantCulture);
        }

        if (weights.PreparedFolder is string folder)
        {
            yield return "--prepared";
            yield return folder;
        }
    }
}
