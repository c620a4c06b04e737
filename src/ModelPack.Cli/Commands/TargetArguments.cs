using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The three targets of a search for encodings.</summary>
/// <param name="Bits">Bits per weight.</param>
/// <param name="Size">Size of the model.</param>
/// <param name="Loss">Largest loss.</param>
internal sealed record TargetArguments(Option<string?> Bits, Option<string?> Size, Option<string?> Loss)
{
    /// <param name="who">What they are for, in front of the descriptions; may be empty.</param>
    public static TargetArguments Create(string who = "") => new(
        new Option<string?>("--target-bits") { Description = $"{who}mean bits per weight over all weights that are encoded, scales included, such as 4.25", HelpName = "bits" },
        new Option<string?>("--target-size") { Description = $"{who}size of the model before lossless coding: a part of the input such as 0.3x, or a size such as 5MB", HelpName = "size" },
        new Option<string?>("--max-loss") { Description = $"{who}the smallest model that loses no more than this: perplexity of language models, output noise of others; such as 1%", HelpName = "loss" });

    /// <summary>The target, or null when none is given.</summary>
    /// <exception cref="UsageException">Not understood, or several.</exception>
    public TuneTarget? Get(Session session)
    {
        try
        {
            return TuneTarget.Parse(session.Get(Bits), session.Get(Size), session.Get(Loss));
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.BadTuneTarget)
        {
            throw new UsageException(e.Message);
        }
    }
}
