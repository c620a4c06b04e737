using System.CommandLine;
using ModelPack.Codecs;

namespace ModelPack.Cli;

/// <summary>The option <c>--level</c> of commands that write artifacts.</summary>
internal static class LevelOption
{
    public static Option<string> Create()
    {
        var option = new Option<string>("--level")
        {
            Description = "How hard the lossless codecs try: fast, default, or max, which takes several times as long; all decode about as fast",
            HelpName = "fast|default|max",
            DefaultValueFactory = _ => "default",
        };
        option.AcceptOnlyFromAmong("fast", "default", "max");
        return option;
    }

    /// <summary>The level that an accepted value names.</summary>
    public static CodecLevel Parse(string? value) => value switch
    {
        "fast" => CodecLevel.Fast,
        "max" => CodecLevel.Max,
        _ => CodecLevel.Default,
    };
}
