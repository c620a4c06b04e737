using System.CommandLine;
using System.CommandLine.Parsing;

namespace ModelPack.Cli;

/// <summary>Options such as <c>--max-memory 2GB</c>.</summary>
internal static class SizeOption
{
    public static Option<MemorySize> Create(string name, string description, MemorySize fallback) => new(name)
    {
        Description = Describe(description),
        HelpName = "size",
        DefaultValueFactory = _ => fallback,
        CustomParser = result => Parse(name, result) ?? fallback,
    };

    /// <summary>Of a command that runs a model: memory for weights; null when not given.</summary>
    public static Option<MemorySize?> CreateResident()
    {
        const string name = "--resident";
        return new Option<MemorySize?>(name)
        {
            Description = Describe("Memory for packed weights of an artifact that is larger: the others are read again in every run, from a temporary file beside it. Outputs stay the same"),
            HelpName = "size",
            CustomParser = result => Parse(name, result),
        };
    }

    /// <summary>A size without a default.</summary>
    public static Option<MemorySize?> CreateOptional(string name, string description) => new(name)
    {
        Description = Describe(description),
        HelpName = "size",
        CustomParser = result => Parse(name, result),
    };

    private static string Describe(string what) => $"{what}: bytes, or a number with MB, GB (powers of 1000) or MiB, GiB (powers of 1024)";

    private static MemorySize? Parse(string name, ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (ByteSize.TryParse(text, out long bytes) && bytes > 0)
        {
            return new MemorySize(bytes);
        }

        result.AddError($"{name}: '{text}' is not a size such as 2GB or 512MiB");
        return null;
    }
}

/// <summary>A size whose text form is what one would type.</summary>
internal readonly record struct MemorySize(long Bytes)
{
    public static MemorySize GiB(long n) => new(n << 30);

    public override string ToString() =>
        Bytes % (1L << 30) == 0 ? $"{Bytes >> 30}GiB" : Bytes % (1L << 20) == 0 ? $"{Bytes >> 20}MiB" : $"{Bytes}";
}
