using System.Text.Json;
using System.Threading.Channels;
using ModelPack;
using ModelPack.Runtime.Generation;

namespace ServerSample;

/// <summary>Makes a text and sends it, whole or as it is made (server-sent events), in the form of OpenAI's interface. A client that goes away ends its sequence.</summary>
internal static class Answer
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Makes the text: how, what to call with every piece, and when to stop.</summary>
    public delegate Task<GenerationResult> Make(GenerationOptions options, Action<string>? onText, CancellationToken cancellation);

    public static async Task Of(HttpContext context, CompletionRequest request, string kind, string prefix, Make make)
    {
        CancellationToken gone = context.RequestAborted;
        var head = new Head($"{prefix}-{Guid.NewGuid():N}", kind, DateTimeOffset.UtcNow.ToUnixTimeSeconds(), context.RequestServices.GetRequiredService<Engine>().Name);
        try
        {
            if (request.Stream)
            {
                await Stream(context, request, head, make, gone);
                return;
            }

            GenerationResult result = await make(request.Options(), null, gone);
            object choice = head.IsChat
                ? new { Index = 0, Message = new { Role = "assistant", Content = result.Text }, FinishReason = Reason(result) }
                : new { Index = 0, Text = result.Text, FinishReason = Reason(result) };
            await context.Response.WriteAsJsonAsync(new { head.Id, head.Object, head.Created, head.Model, Choices = new[] { choice }, Usage = Usage(result) }, Json, gone);
        }
        catch (OperationCanceledException) when (gone.IsCancellationRequested)
        {
            // Nobody is there to answer.
        }
        catch (Exception e) when (e is BadHttpRequestException or ModelPackException && !context.Response.HasStarted)
        {
            bool asked = e is BadHttpRequestException || (e is ModelPackException { Code: ErrorCode code } && (code == ErrorCodes.BadPrompt || code == ErrorCodes.BadChatTemplate));
            context.Response.StatusCode = asked ? StatusCodes.Status400BadRequest : StatusCodes.Status500InternalServerError;
            await context.Response.WriteAsJsonAsync(new { Error = Error(e, asked) }, Json, gone);
        }
    }

    private static async Task Stream(HttpContext context, CompletionRequest request, Head head, Make make, CancellationToken gone)
    {
        // Pieces wait here, not the model for the network.
        Channel<string> pieces = Channel.CreateUnbounded<string>(new UnboundedChannelOptions { SingleReader = true });
        Task<GenerationResult> making = Made(make(request.Options(), piece => pieces.Writer.TryWrite(piece), gone), pieces.Writer);
        if (await pieces.Reader.WaitToReadAsync(gone) == false)
        {
            await making; // An error before the first piece has a status of its own.
        }

        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-cache";
        bool first = true;
        await foreach (string piece in pieces.Reader.ReadAllAsync(gone))
        {
            await Send(context, head, Choice(head, first, piece, null), null, gone);
            first = false;
        }

        try
        {
            GenerationResult result = await making;
            await Send(context, head, Choice(head, first, "", Reason(result)), null, gone);
            if (request.StreamOptions?.IncludeUsage == true)
            {
                await Send(context, head, null, Usage(result), gone);
            }
        }
        catch (ModelPackException e)
        {
            await Event(context, JsonSerializer.Serialize(new { Error = Error(e, asked: false) }, Json), gone);
        }

        await Event(context, "[DONE]", gone);
    }

    private static async Task<GenerationResult> Made(Task<GenerationResult> making, ChannelWriter<string> pieces)
    {
        try
        {
            return await making;
        }
        finally
        {
            pieces.Complete();
        }
    }

    private static object Choice(Head head, bool first, string text, string? reason)
    {
        if (!head.IsChat)
        {
            return new { Index = 0, Text = text, FinishReason = reason };
        }

        object delta = first ? new { Role = "assistant", Content = text } : reason is null ? new { Content = text } : new { };
        return new { Index = 0, Delta = delta, FinishReason = reason };
    }

    private static Task Send(HttpContext context, Head head, object? choice, object? usage, CancellationToken gone) =>
        Event(context, JsonSerializer.Serialize(new { head.Id, Object = head.IsChat ? head.Object + ".chunk" : head.Object, head.Created, head.Model, Choices = choice is null ? [] : new[] { choice }, Usage = usage }, Json), gone);

    private static async Task Event(HttpContext context, string data, CancellationToken gone)
    {
        await context.Response.WriteAsync($"data: {data}\n\n", gone);
        await context.Response.Body.FlushAsync(gone);
    }

    private static string Reason(GenerationResult result) => result.StopReason is StopReason.EndOfText or StopReason.StopString ? "stop" : "length";

    private static object Usage(GenerationResult result) => new { result.PromptTokens, CompletionTokens = result.Tokens, TotalTokens = result.PromptTokens + result.Tokens };

    private static object Error(Exception e, bool asked) => new { e.Message, Type = asked ? "invalid_request_error" : "server_error", Param = (string?)null, Code = e is ModelPackException m ? m.Code.ToString() : null };

    private sealed record Head(string Id, string Object, long Created, string Model)
    {
        public bool IsChat => Object == "chat.completion";
    }
}
