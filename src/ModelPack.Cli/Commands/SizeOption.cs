using System.CommandLine;

namespace ModelPack.Cli;

/// <summary>Options such as <c>--max-memory 2GB</c>.</summary>
internal static class SizeOption
{
    public static Option<MemorySize> Create(string name, string description, MemorySize fallback) => new(name)
    {
        Description = $"{description}: bytes, or a number with MB, GB (powers of 1000) or MiB, GiB (powers of 1024)",
        HelpName = "size",
        DefaultValueFactory = _ => fallback,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (ByteSize.TryParse(text, out long bytes) && bytes > 0)
            {
                return new MemorySize(bytes);
            }

            result.AddError($"{name}: '{text}' is not a size such as 2GB or 512MiB");
            return fallback;
        },
    };
}

/// <summary>A size whose text form is what one would type.</summary>
internal readonly record struct MemorySize(long Bytes)
{
    public static MemorySize GiB(long n) => new(n << 30);

    public override string ToString() =>
        Bytes % (1L << 30) == 0 ? $"{Bytes >> 30}GiB" : Bytes % (1L << 20) == 0 ? $"{Bytes >> 20}MiB" : $"{Bytes}";
}
