using System.Buffers.Binary;
using System.Text;

namespace ModelPack.Compiler;

/// <summary>Runs passes in order, checks phases and legality around each, and names the guilty pass when something fails.</summary>
/// <param name="passes">The passes in order.</param>
public sealed class PassManager(IReadOnlyList<IPass> passes)
{
    public IReadOnlyList<IPass> Passes { get; } = passes;

    /// <summary>Runs all passes on a model as imported.</summary>
    /// <returns>The model after the last pass; the same reference when no pass changed anything.</returns>
    /// <exception cref="ModelPackException">The code of the failure (MP2001 when it was unforeseen); the message names the pass and those before it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled through the context.</exception>
    public Model Run(Model model, PassContext context)
    {
        var verifier = new Verifier(context.BindFormat, context.ValidateStructure);
        Phase phase = Phase.Imported;
        verifier.Check(model, phase);
        for (int i = 0; i < Passes.Count; i++)
        {
            IPass pass = Passes[i];
            context.Cancellation.ThrowIfCancellationRequested();
            if (pass.Requires > phase)
            {
                throw Failed(ErrorCodes.PhaseNotReached, i, $"it needs a model that is {pass.Requires}, this one is only {phase}", null);
            }

            context.CurrentPass = pass.Name;
            context.PassSeed = DeriveSeed(context.Seed, i, pass.Name);
            long start = context.Time?.GetTimestamp() ?? 0;
            try
            {
                model = pass.Run(model, context);
                phase = pass.Ensures > phase ? pass.Ensures : phase;
                verifier.Check(model, phase);
            }
            catch (ModelPackException e)
            {
                throw Failed(e.Code, i, e.Message, e);
            }
            catch (Exception e) when (e is not (OperationCanceledException or OutOfMemoryException))
            {
                throw Failed(ErrorCodes.PassFailed, i, $"{e.GetType().Name}: {e.Message}", e);
            }

            if (context.Time is TimeProvider time)
            {
                context.Measure("seconds", time.GetElapsedTime(start).TotalSeconds);
            }

            context.CurrentPass = "";
        }

        return model;
    }

    /// <summary>A seed that depends on the compilation's seed, the pass and its position only.</summary>
    internal static ulong DeriveSeed(ulong seed, int position, string pass)
    {
        Span<byte> head = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(head, seed);
        BinaryPrimitives.WriteInt32LittleEndian(head[8..], position);
        return Xxh3.Hash64([.. head, .. Encoding.UTF8.GetBytes(pass)]);
    }

    private ModelPackException Failed(ErrorCode code, int index, string detail, Exception? inner)
    {
        string before = index == 0 ? "the first pass" : $"after {string.Join(", ", Passes.Take(index).Select(p => p.Name))}";
        ModelPackException? known = inner as ModelPackException;
        // The message of a known error begins with its tensor already.
        return new ModelPackException(code, $"pass '{Passes[index].Name}' ({before}): {detail}", known?.Path, innerException: inner);
    }
}
